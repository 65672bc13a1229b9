"""``uscl finetune``: the final model on all labelled data, one command."""
