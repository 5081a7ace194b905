"""Import: a pasted command, a config, a GUI export or a folder becomes settings and findings."""

from loraforge.advice.importer.recipe import Imported, import_bytes, import_path, import_text

__all__ = ["Imported", "import_bytes", "import_path", "import_text"]
