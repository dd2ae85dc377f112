"""What happens on the wire below DIMSE: sockets, handshakes, and PDUs."""
