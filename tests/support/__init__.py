"""What tests build with: the whole core without a process or a socket, and a real server."""
