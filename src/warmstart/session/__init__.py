"""The engine of a run: data → rows → fit → train → score → save. It knows no verb."""
