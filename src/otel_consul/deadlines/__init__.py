"""What would stop a call, who cancelled it, and what is said where nothing would stop it."""
