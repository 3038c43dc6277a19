//! OTLP bytes → observations. Hot plane; retains nothing.
