"""What deploying a stack has to be allowed, as policies that an account can be given before the first `pulumi up`."""
