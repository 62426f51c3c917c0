// SwitchCore
