"""The parts of `bench/run` and `bench/report`: scenarios, contenders, measured rounds, figures."""
