"""Pictures, sound and text: strangers' bytes to arrays of declared shape, bounded in time and memory."""
