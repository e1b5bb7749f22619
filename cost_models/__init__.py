"""Floor 3: analytic roofline, learned residual and their calibration."""
