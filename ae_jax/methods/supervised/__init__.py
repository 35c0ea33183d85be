"""Methods that learn what somebody labelled."""
