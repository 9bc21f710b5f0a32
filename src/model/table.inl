// The architectures: one line each. A file of src/model defines the Architecture of that name.
ARCHITECTURE(llama)
ARCHITECTURE(mistral)
ARCHITECTURE(gpt2)
