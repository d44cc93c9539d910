"""`python -m otel_consul doctor`: see `otel_consul.doctor.command`."""

from otel_consul.doctor.command import main

if __name__ == "__main__":
    main()
