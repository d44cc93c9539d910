"""What would stop a call, whose cancellation ended it, and a word where nothing would."""
