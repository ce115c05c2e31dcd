"""The Imported Clients tab: adding, listing, resending and removing clients."""
