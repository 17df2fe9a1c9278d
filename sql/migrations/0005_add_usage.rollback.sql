ALTER TABLE generated_images
    DROP COLUMN model_version,
    DROP COLUMN input_tokens,
    DROP COLUMN output_tokens;
