"""Raw data sets become a training store; a store becomes batches."""
