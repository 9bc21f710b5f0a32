// The tasks of the laboratory, one a line: each is an object of that name, defined in a file of its own.
TASK(broken_token)
TASK(digits)
TASK(language_model)
TASK(recomputation)
TASK(two_scales)
