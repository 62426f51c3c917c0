// IORing
