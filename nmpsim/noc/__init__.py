"""The inter-PU ring: routers, links, virtual channels, credits."""
