"""Where pictures come from: one module a source, each giving a manifest."""
