"""Networks that look at faces: detectors, landmarkers, the emotion classifier, the person segmenter."""
