"""The science: networks that learn faces from voices, read from the manifest alone."""
