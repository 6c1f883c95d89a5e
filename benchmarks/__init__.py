"""Speed, measured: minidl and a peer alternate in one run, and the ratio of medians is printed with its spread."""
