package main

import "log/slog"

// hardenProcess does nothing here: Windows writes no dumps of a process unless it is configured to.
func hardenProcess(*slog.Logger) {}
