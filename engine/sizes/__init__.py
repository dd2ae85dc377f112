"""What a model costs, counted on tensors that hold no memory: parameters, operations, memory.

Nothing here loads weights.
"""
