"""The page's interface for programs, described: shape.py what it answers, document.py the rest."""
