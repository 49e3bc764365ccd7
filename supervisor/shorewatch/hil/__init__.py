"""Benches for tests of the whole chain, simulated or of real boards; `hil_tests` runs on them."""
