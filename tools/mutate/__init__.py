"""Changes the core one small thing at a time, and sees whether the device tests notice: `make mutate`."""
