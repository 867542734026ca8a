"""Who may ask a server: API keys, or an identity provider's tokens. Where a platform asks in front, neither."""
