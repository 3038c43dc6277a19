//! Mathematics only, one method per file.
