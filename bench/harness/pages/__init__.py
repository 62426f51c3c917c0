"""Reports of results, as a page for browsers and as Markdown with its figures beside it."""
