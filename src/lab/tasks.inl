// The tasks of the laboratory, one a line: each is an object of that name, defined in a file of its own.
TASK(attention_memory)
TASK(attention_time)
TASK(broken_token)
TASK(digits)
TASK(language_model)
TASK(online_softmax)
TASK(recomputation)
TASK(two_scales)
