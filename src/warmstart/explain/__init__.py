"""What a network has learnt and what it looks at: filters, feature maps, heat-maps, nearest training pictures."""
