"""The command line beside `run`: what is asked of a store and told to it."""
