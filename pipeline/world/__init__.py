"""The synthetic world: invented people, their photographs and voices, planted defects, and the truth."""
