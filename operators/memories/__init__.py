"""Events and closed episodes -> texts with vectors that can be recalled."""
