-- What the provider says that a picture cost, and which version of the model drew it.
ALTER TABLE generated_images
    ADD COLUMN model_version text,
    ADD COLUMN input_tokens integer,
    ADD COLUMN output_tokens integer;
