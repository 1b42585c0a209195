//! Session-affinity load balancing that you can embed.
