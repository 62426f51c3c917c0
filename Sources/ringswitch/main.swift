print("ringswitch")
