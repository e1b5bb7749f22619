"""Floor 2: boards, device profiles, the measurement store and the virtual VideoCore IV."""
