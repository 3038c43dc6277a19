//! YAML → a validated plan, or all its problems at once.
