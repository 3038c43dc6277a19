//! Evidence → verdicts and findings; one rule per aspect.
