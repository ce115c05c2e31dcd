"""An example of a host shell: a small separate application with Imported Clients embedded in its pages."""
