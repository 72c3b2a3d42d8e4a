"""Tables: dialects, cells, the types of columns, and containers of many kinds."""
