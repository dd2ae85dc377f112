"""What goes into an archive: report objects, evidence beside them, and rejections."""
