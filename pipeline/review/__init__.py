"""Human review: what reviewers are shown, and how their decisions are applied."""
