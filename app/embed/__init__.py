"""Inside the host shell's pages: the fragments and the frame that stand there, and which shells may frame us."""
