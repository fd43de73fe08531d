"""Helpers of the gateway's tests and benchmarks; never imported by a running gateway."""
