"""The paper's ablations (tables 5 to 11) in miniature: `ctscribe eval ablation`."""
