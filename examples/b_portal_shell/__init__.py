"""An example of a host shell: a small application of its own, into whose pages Imported Clients is embedded."""
