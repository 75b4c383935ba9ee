package policy

allow_all := false
